"""Where images come from: folders, files, data sets, decoded and looked over."""
